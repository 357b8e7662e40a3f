"""DeeperGCN, or with `--model sheaf` the sheaf recommender, on link property prediction of OGB, by default ogbl-ddi.

The flags are OGB's and some more; `--help` lists them all.

    python scripts/ogb/link.py --dataset NAME --root FOLDER --runs 10

The work is done in graphkit/recipes/ogb; `graphkit ogb` is the same command for all kinds of data sets.
"""

import sys

from graphkit.cli import main

if __name__ == "__main__":
    sys.exit(main(["ogb", "--level", "link", *sys.argv[1:]]))

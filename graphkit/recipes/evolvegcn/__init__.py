"""EvolveGCN: ``graphkit train --model evolvegcn-...`` and ``graphkit reproduce evolvegcn``."""

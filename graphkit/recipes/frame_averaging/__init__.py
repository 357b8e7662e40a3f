"""The experiments of frame averaging: n-body, graph separation, normals."""

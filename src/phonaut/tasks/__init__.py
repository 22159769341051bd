"""Tasks: what is trained, on what, how it is evaluated and what its report shows; one file each."""

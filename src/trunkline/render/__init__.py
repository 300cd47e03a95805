"""Values to text, pure: the files that HAProxy reads. What they should say is decided in `trunkline.plan`."""

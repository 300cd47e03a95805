"""Settings: one typed tree, and how it is read from flags, environment, YAML file and a node's own Patroni.

`settings`   the tree: every field with its default, unit and help      `values`   addresses, sizes and names in it
`rules`      what must hold between settings                            `load`     from all sources to one tree
`document`   YAML with line numbers     `environment`   `discovery`     `faults`   what is wrong, where, and the remedy
"""

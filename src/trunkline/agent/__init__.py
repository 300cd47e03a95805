"""What runs all the time: HAProxy in front of the clusters of the settings, as `trunkline run` keeps it.

`following` asks a cluster, `discovery` decides who its members are, `memory` keeps that      `supervisor` compares
`keeper` keeps HAProxy      `configuration` makes its files      `changes` puts into words what differs
`run` puts it together      `tasks` that never end      `logs` how lines look
"""

"""The outside world, one file for each thing in it. Errors of libraries are translated here into `trunkline.errors`.

`patroni_rest` Patroni's REST API      `runtime_socket` HAProxy's admin socket      `resolver` host names
"""

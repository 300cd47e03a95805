"""Text to values and back, pure: what Patroni's REST API and HAProxy's sockets say, and names that both can bear.

`patroni` its JSON      `runtime` HAProxy's replies      `names` members and servers
"""

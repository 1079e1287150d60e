"""Our own back end for Multi Model Server: what a model process does all day.

`wire` knows the bytes, `slots` the table that the supervisor shares with its model processes,
`loop` the sockets, `messages` what the two tell each other.
"""

"""Lambda on this machine.

``RuntimeApi`` is the HTTP interface that a bootstrap polls, on loopback. ``Sandbox`` runs the bootstrap as Lambda
does: layers at /opt, the function at /var/task, both read-only, Lambda's environment and nothing of the host's.
``LocalFunction`` brings the two together: it starts the bootstrap for an event, enforces the time-outs, and starts
anew what died.
"""

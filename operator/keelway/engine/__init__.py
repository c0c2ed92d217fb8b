"""The engine: what is known, who must be looked at, and how a decision becomes requests.

It knows no kind and no Kubernetes client: what the kinds mean comes in as a Behaviour, the API server as a Writer.
"""

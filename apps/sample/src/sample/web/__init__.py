"""The playground: a page that shows a text's tokens, what may come next, and writes.

All but `page`, `side` and `server` is free of gradio, which the extra `sample-app[web]` brings.
"""

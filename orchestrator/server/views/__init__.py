"""The pages: inbox and decision, flows, editor, runs, plugins, schedules, operate. `pages.py` beside it is what they share.

`*_view.py` modules turn what the desk knows into plain data that a template shows; `*_pages.py` modules are the routes.
"""

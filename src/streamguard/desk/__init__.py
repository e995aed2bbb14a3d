"""The desk: the web pages where people see fraud arrive and deal with it.

The life of a page:

1. `serve.run` makes the parts of `site.Desk`, listens, and serves `app.create_app`.
2. `doors.Doors` refuses hosts and origins that are not the desk's, and adds the headers of each answer.
3. `site` has the routes: each is a function in `pages` with the method, the path and the permission that it needs. It is called
   with a `Visit`: who asks, what was sent, the database, and the templates.
4. `render` turns rows into HTML; text from records is escaped, always.

The life of an alert on the screen:

1. A writer's commit notifies the channel `fraud_alerts` (a trigger of the database).
2. `feed.Feed` reads what changed and hands it to every `stream` (server-sent events).
3. `static/worker.js` shares one stream among the tabs of a browser, `static/desk.js` shows it.

Everything that changes something calls the functions that the command line calls.
"""

"""Gives the watch to the rest of the package, as `catalog.hook("watch")`.

An unreadable watch file is an error, since it may hold a suspension.
"""

from blackbox_conformal.watching.live_file import live_watch as live_watch
from blackbox_conformal.watching.visit.visiting import begin_watch as begin_watch
from blackbox_conformal.watching.visit.visiting import calls_of_visits as calls_of_visits
from blackbox_conformal.watching.watch_file import check_beside as check_beside
from blackbox_conformal.watching.watch_file import sign_beside as sign_beside
from blackbox_conformal.watching.watch_states import holds as holds
from blackbox_conformal.watching.watch_states import refuse_suspended as refuse_suspended
from blackbox_conformal.watching.watch_states import standing_of as standing_of
from blackbox_conformal.watching.watch_states import state_of as state_of

"""Kwaflux in Nuke's GUI: a menu, a Tab entry, and the callback of changed knobs."""

import nuke


def _call(name: str, *, is_asked: bool = True) -> object:
    """Call what ``callbacks`` has of that name; without Kwaflux say so to whoever asked."""
    try:
        from kwaflux_nuke import callbacks
    except Exception as error:  # noqa: BLE001 - whatever is wrong with an installation, Nuke works
        if is_asked:
            nuke.message(f"Kwaflux cannot be imported: {error}. Install it: kwaflux install nuke")
        return None
    return getattr(callbacks, name)()


def _of_ours(name: str) -> None:
    """Call for our nodes alone, so that a session without one never imports Kwaflux."""
    if nuke.thisNode().knob("kw_panel") is not None:
        _call(name, is_asked=False)


_MENU = nuke.menu("Nodes")
if _MENU is not None:
    _MENU.addCommand("Kwaflux/Kwaflux", lambda: _call("make_node"), icon="kwaflux.png")
    nuke.addKnobChanged(_of_ours, args=("knob_changed",), nodeClass="Group")
    nuke.addUpdateUI(_of_ours, args=("updated",), nodeClass="Group")

"""Check what notebook 00 says about its numbers."""


def check(notebook):
    result = notebook.panel.result
    assert result.silent == ()
    notebook.panel.set(by_hand=[18])
    result = notebook.panel.result
    assert result.before[0].name == "Egyptian cat" and result.after[0].name == "lynx"
    assert {seen.name for seen in result.before[:3]} == {"Egyptian cat", "tiger cat", "tabby"}
    notebook.panel.set(by_hand=[], take_away=10)
    result = notebook.panel.result
    assert result.watched == ("Egyptian cat",) and result.curve[10] < 0.05
    notebook.panel.set(take_away=12)
    assert notebook.panel.result.after[0].name in ("tiger cat", "tabby")

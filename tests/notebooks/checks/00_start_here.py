"""Check what notebook 00 says about its numbers."""


def check(notebook):
    panel = notebook.panel
    assert panel.result.silent == ()
    cats = {"Egyptian cat", "tiger cat", "tabby"}
    assert {seen.name for seen in panel.result.before[:3]} == cats
    first = {}
    for kernel in range(32):
        panel.set(by_hand=[kernel])
        first[kernel] = panel.result.after[0].name
    other = {kernel: name for kernel, name in first.items() if name != "Egyptian cat"}
    assert other.keys() == {1, 8, 9, 18, 22} and other.pop(18) == "lynx"
    assert set(other.values()) <= cats
    panel.set(by_hand=[], take_away=12)
    assert panel.result.after[0].name in cats and 18 in panel.result.silent
    panel.set(take_away=10)
    share = {seen.name: seen.probability for seen in panel.result.after}
    assert share.get("Egyptian cat", 0) < 0.05 and share["tiger cat"] + share["tabby"] > 0.97
    panel.set(take_away=12)
    others = [k for k in panel.result.silent if k != 18]
    panel.set(by_hand=others, take_away=0)
    assert panel.result.after[0].name in cats, "also with kernel 18"
    # Without kernel 18 only the cat has another first answer; without 8 or 22 the coffee has.
    for number in range(1, 6):
        panel.set(picture=number, by_hand=[18])
        assert panel.result.before[0].name == panel.result.after[0].name
    for kernel in (8, 22):
        panel.set(picture=1, by_hand=[kernel])
        assert panel.result.network.held_out.label(1) == "coffee"
        assert panel.result.before[0].name != panel.result.after[0].name
    assert notebook.lab.result.maps.shape == (16, 28, 28)

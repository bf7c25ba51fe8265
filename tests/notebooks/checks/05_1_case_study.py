"""The bands behind the prose of notebook 05_1."""


def check(notebook):
    ladder, table = notebook.ladder, notebook.table.set_index("rung")
    assert abs(notebook.grey.mean()) > 0.3 and abs(notebook.grey.std() - 1) > 0.2
    assert abs(notebook.values.mean()) < 0.05  # of the test part, with the training part's numbers
    assert len(notebook.held.unique()) == 1
    assert 0.3 < sum(notebook.lost) / len(notebook.lost) < 0.8
    assert notebook.again == notebook.history and len(notebook.history.epoch) == 2

    assert max(notebook.gains, key=notebook.gains.get) == "longer"
    assert {"longer", "schedule"} <= set(notebook.clear) and len(notebook.clear) < 7
    assert notebook.gains["augmented"] < 0
    whole = ladder.gain(notebook.top, notebook.first_rung)
    assert whole.low > 0.04 and 0.4 < notebook.gains["longer"] / (100 * whole.middle) < 0.8
    assert ladder.compared(notebook.top, notebook.first_rung).p_value < 1e-6

    assert abs(100 * notebook.found.test.accuracy - table.accuracy["article"]) < 2.5
    assert notebook.panel.error == "" and notebook.panel.result.ladder == ladder
    photographs = notebook.photographs.frame().set_index("rung").accuracy
    assert 62 < photographs["article"] < 64
    assert 27.5 < photographs["views"] - photographs["article"] < 28.5
    assert photographs["views"] - photographs["larger"] > 1

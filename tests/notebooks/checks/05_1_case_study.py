"""The bands behind the prose of notebook 05_1."""


def check(notebook):
    ladder, table = notebook.ladder, notebook.table.set_index("rung")
    assert abs(notebook.grey.mean()) > 0.3 and abs(notebook.grey.std() - 1) > 0.2
    assert abs(notebook.values.mean()) < 0.05  # of the test part, with the training part's numbers
    assert len(notebook.held.unique()) == 1
    assert 0.5 < sum(notebook.lost) / len(notebook.lost) < 0.9
    assert 0.45 < (notebook.pixels == 0).double().mean() < 0.55
    assert notebook.again.step_loss == notebook.history.step_loss
    weights = [net.state_dict() for net in (notebook.resumed, notebook.unbroken)]
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[1])
    assert notebook.cut.stopped and len(notebook.cut.epoch) == 1

    pairs = zip(ladder.names, ladder.names[1:], strict=False)
    steps = {name: ladder.seed_gains(name, below) for below, name in pairs}
    assert len(steps) == 14
    accuracies = [row.accuracy for row in ladder.of("article")]
    assert max(accuracies) - min(accuracies) > 0.01
    assert max(notebook.gains, key=notebook.gains.get) == "longer"
    assert {"longer", "schedule"} <= set(notebook.clear) and len(notebook.clear) < 7
    assert max(steps["augmented"].values()) < 0 < min(steps["schedule"].values())
    assert list(notebook.in_both) == ["longer", "schedule"] and len(ladder.seeds) == 3
    assert table.accuracy["augmented":"residual"].max() < table.accuracy["standardised"]
    assert min(row.best_epoch for row in ladder.of("augmented")) >= 7
    ends = notebook.first_rung, notebook.second, notebook.top
    assert ends == ("article", "longer", "distilled")
    whole, rest = ladder.gain(notebook.top, "article"), ladder.gain(notebook.top, "longer")
    assert whole.low > 0.04 and rest.low > 0.01 and 0.02 < rest.middle < 0.03
    assert min(ladder.seed_gains(notebook.top, "longer").values()) > 0.01
    assert 0.4 < notebook.gains["longer"] / (100 * whole.middle) < 0.65
    assert ladder.compared(notebook.top, notebook.first_rung).p_value < 1e-6

    assert abs(100 * notebook.found.test.accuracy - table.accuracy["article"]) < 2.5
    assert notebook.panel.error == "" and notebook.panel.result.ladder == ladder
    photographs = notebook.photographs.frame().set_index("rung").accuracy
    assert 62 < photographs["article"] < 64
    assert 27.5 < photographs["views"] - photographs["article"] < 28.5
    assert photographs["views"] - photographs["larger"] > 1
    assert list(photographs.index) == ["article", "larger", "views"]
    assert notebook.photographs.seeds == [0] and 85.5 < table.accuracy["article"] < 86.5

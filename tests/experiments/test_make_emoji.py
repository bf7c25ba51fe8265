from __future__ import annotations

import json

import torch
from PIL import Image

from course_utils.data import load_dataset, read_npz
from course_utils.experiments import make_emoji as module


def test_the_file_is_made_of_a_package_again(tmp_path):
    every = []
    folder = tmp_path / "img/google/64"
    folder.mkdir(parents=True)
    for number, group in enumerate(["flag", *(s for some in module.GROUPS.values() for s in some)]):
        for place in range(module.TRAIN + module.TEST + 1):
            name = f"{number}-{place}.png"
            colour = (number * 10, place * 5, 0, 0 if place == 0 else 255)
            Image.new("RGBA", (64, 64), colour).save(folder / name)
            every.append({"image": name, "subcategory": group, "has_img_google": place != 1})
    (tmp_path / "emoji.json").write_text(json.dumps(every))
    module.write(*module.make(tmp_path), tmp_path / "emoji.npz")
    train, test = read_npz(tmp_path / "emoji.npz")
    assert train.classes == load_dataset("emoji").classes == tuple(module.GROUPS)
    assert torch.bincount(train.labels).tolist() == [module.TRAIN] * 8
    assert torch.bincount(test.labels).tolist() == [module.TEST] * 8
    pictures = torch.cat([train.images, test.images])[:, :, 0, 0]
    assert len(pictures.unique(dim=0)) >= 8 * 44  # the transparent ones are all white
    assert not (pictures[:, 1] == 5).any()

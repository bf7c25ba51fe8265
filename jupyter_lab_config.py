"""How JupyterLab opens the course: `jupyter lab --config=jupyter_lab_config.py`."""

import os
from pathlib import Path

# PyTorch's threads wait for each other by spinning. As soon as another program wants the processor,
# such as the browser, that can make a step of training a hundred times slower; sleeping costs next
# to nothing.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

c = get_config()  # noqa: F821 (JupyterLab provides it)

# Without this the file browser would show only the folder of the notebook that is opened first.
c.ServerApp.root_dir = str(Path(__file__).resolve().parent)
c.LabApp.default_url = "/lab/tree/notebooks/00_start_here.ipynb"

# A newcomer's first sight is the course, not a question about news; the network is asked nothing.
# The address alone (`news_url = None`) does not stop the question.
_ANNOUNCEMENTS = "@jupyterlab/apputils-extension:announcements"


def _without_announcements(handler, page_config):
    disabled = page_config.get("disabledExtensions", [])
    return page_config | {"disabledExtensions": [*disabled, _ANNOUNCEMENTS]}


c.ServerApp.tornado_settings = {"page_config_hook": _without_announcements}

# In a container one often is root, and JupyterLab refuses to start without this.
c.ServerApp.allow_root = hasattr(os, "geteuid") and os.geteuid() == 0

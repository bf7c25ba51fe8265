"""How JupyterLab opens the course: `jupyter lab --config=jupyter_lab_config.py`."""

import os
from pathlib import Path

c = get_config()  # noqa: F821 (JupyterLab provides it)

# Without this the file browser would show only the folder of the notebook that is opened first.
c.ServerApp.root_dir = str(Path(__file__).resolve().parent)
c.LabApp.default_url = "/lab/tree/notebooks/00_start_here.ipynb"

# A newcomer's first sight is the course, not a question about news; the network is asked nothing.
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"

# In a container one often is root, and JupyterLab refuses to start without this.
c.ServerApp.allow_root = hasattr(os, "geteuid") and os.geteuid() == 0

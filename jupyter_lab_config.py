"""Settings of JupyterLab for the course: `jupyter lab --config=jupyter_lab_config.py`."""

import os
from pathlib import Path

# By default PyTorch's threads wait for each other in a busy loop. If another program, such as the
# browser, needs the processor, this can make a training step a hundred times slower. Sleeping costs
# almost nothing.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

c = get_config()  # noqa: F821 (JupyterLab provides it)

# Without this, the file browser would show only the folder of the first notebook.
c.ServerApp.root_dir = str(Path(__file__).resolve().parent)
c.LabApp.default_url = "/lab/tree/notebooks/00_start_here.ipynb"

# The reader should first see the course, not a question about Jupyter's news, and JupyterLab should
# not use the network. `news_url = None` alone does not stop the question.
_ANNOUNCEMENTS = "@jupyterlab/apputils-extension:announcements"


def _without_announcements(handler, page_config):
    disabled = page_config.get("disabledExtensions", [])
    return page_config | {"disabledExtensions": [*disabled, _ANNOUNCEMENTS]}


c.ServerApp.tornado_settings = {
    "page_config_hook": _without_announcements,
    # Photographs that a panel takes come in one message; 10 MB, the default, are three of them. A
    # larger message ends the connection.
    "websocket_max_message_size": 2**28,
}

# In a container the user is often root, and then JupyterLab does not start without this.
c.ServerApp.allow_root = hasattr(os, "geteuid") and os.geteuid() == 0

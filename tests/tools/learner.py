"""A learner whose machine is set up for other programs: variables, and files in the home folder."""

from pathlib import Path

PROFILE = """
c.InteractiveShell.ast_node_interactivity = "all"
c.InteractiveShellApp.exec_lines = ["print('from the profile')"]
c.InteractiveShellApp.matplotlib = "inline"
c.InlineBackend.figure_formats = {"svg"}
"""
JUPYTER = """
c.ServerApp.ip = "0.0.0.0"
c.ServerApp.base_url = "/x/"
c.PasswordIdentityProvider.hashed_password = "argon2:x"
c.IdentityProvider.token = ""
c.ServerApp.certfile = "/nonexistent.pem"
c.ServerApp.quiet = True
c.LabApp.default_url = "/tree"
"""
KERNEL = '{"argv": ["false"], "display_name": "Python 3", "language": "python"}'
FILES = {
    ".ipython/profile_default/ipython_config.py": PROFILE,
    ".ipython/profile_default/startup/00.py": "print('from a startup file')",
    ".config/matplotlib/matplotlibrc": "font.size: 30\nno.such.key: 1\nbackend: nonsense\n",
    ".jupyter/jupyter_server_config.py": JUPYTER,
    ".jupyter/jupyter_server_config.json": "{broken",
    ".jupyter/jupyter_config.py": "raise SystemExit('no')",
    ".local/share/jupyter/kernels/python3/kernel.json": KERNEL,
    ".local/share/jupyter/nbconvert/templates/lab/index.html.j2": "another template",
}
NOWHERE = "/proc/nowhere"  # nobody can make that
PROXY = "http://127.0.0.1:1"  # nobody listens there
VARIABLES = {
    **dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"), PROXY),
    **dict.fromkeys(("MPLCONFIGDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR"), NOWHERE),
    **dict.fromkeys(("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"), NOWHERE),
    "PGHOST": NOWHERE,
    "PGUSER": "nobody",
    "PGSSLMODE": "verify-full",
    "PGSSLROOTCERT": NOWHERE,
    "PGTARGETSESSIONATTRS": "standby",
    "PGOPTIONS": "-c statement_timeout=1",
    "MPLBACKEND": "nonsense",
    "IPYTHON_SUPPRESS_CONFIG_ERRORS": "perhaps",
    "JUPYTER_PREFER_ENV_PATH": "0",
    "JUPYTER_PLATFORM_DIRS": "1",
    "JUPYTER_TOKEN": "",
    "CONDA_PREFIX": NOWHERE,
    "FORCE_COLOR": "1",
    "COLUMNS": "20",
    "TZ": "Asia/Kathmandu",
    "LC_ALL": "C",
    "POOL_SIZE": "0",
}
# These change Python itself, before a line of ours runs: make takes them away.
OF_PYTHON = {
    "PYTHONHOME": NOWHERE,
    "PYTHONPATH": NOWHERE,
    "PYTHONWARNINGS": "error",
    "PYTHONOPTIMIZE": "2",
    "PYTHONIOENCODING": "ascii",
    "PYTHONDEVMODE": "1",
    "PYTHONVERBOSE": "1",
    "SSLKEYLOGFILE": NOWHERE,
}
OF_PIP = {
    "PIP_USER": "1",
    "PIP_TARGET": NOWHERE,
    "PIP_PREFIX": NOWHERE,
    "PIP_NO_DEPS": "1",
    "PIP_DRY_RUN": "1",
    "PIP_REQUIRE_HASHES": "1",
    "PIP_CONSTRAINT": NOWHERE,
}


def settings(home: Path) -> dict[str, str]:
    """Variables, beside files that they lead to in *home*."""
    for name, text in FILES.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text, encoding="utf-8")
    return VARIABLES | {
        "HOME": str(home),
        "IPYTHONDIR": str(home / ".ipython"),
        "JUPYTER_CONFIG_DIR": str(home / ".jupyter"),
        "JUPYTER_PATH": str(home / ".local/share/jupyter"),
        "MATPLOTLIBRC": str(home / ".config/matplotlib/matplotlibrc"),
    }

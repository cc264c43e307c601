"""A secret that must show nowhere: the password in an address."""

from cachepool_lib.lab.notebook.checks import Unmet


def hides_the_password(made: object) -> str:
    """Look for s3cret, which the address of *made* has in it, where programs print things."""
    for where, text in (("vars()", str(getattr(made, "__dict__", ""))), ("repr()", repr(made))):
        if "s3cret" in text:
            raise Unmet(
                expected="no password",
                got=f"s3cret in {where}",
                hint="Keep the function that connects, not the address.",
            )
    return "no password"

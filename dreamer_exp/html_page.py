"""What the pages that runs and comparisons write have in common: escaping templates, formats, and a content policy.

A page is one file that loads nothing from the network, whatever the files of a run hold.
"""

import math
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from importlib.resources import files

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from dreamer_exp.formatting import MISSING, count, duration, number

SHARED = "dreamer_exp"  # the package whose templates/ has the macros and the style of all pages


def environment(package: str) -> Environment:
    """Return the templates of a package, then the shared ones; all text is escaped."""
    templates = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in dict.fromkeys((package, SHARED))]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    templates.filters |= {"count": count, "duration": duration, "plural": plural}
    templates.globals |= {"MISSING": MISSING, "figure": figure, "percent": percent}
    templates.tests["finite"] = math.isfinite
    return templates


def template_file(package: str, name: str) -> str:
    """Return the text of a file in a package's templates/."""
    return (files(package) / "templates" / name).read_text(encoding="utf-8")


def figure(value: float) -> str:
    """Return four digits; a dash for NaN and infinity."""
    return number(value, ".4g")


def percent(value: float) -> str:
    """Return a share in percent; a dash for NaN and infinity."""
    return f"{100 * value:.1f} %" if math.isfinite(value) else MISSING


def plural(total: int, noun: str) -> str:
    """Return `1 run` or `3 runs`."""
    return f"{total:,} {noun}{'' if total == 1 else 's'}"


def content_policy(images: str, scripts: Iterable[str] = ()) -> str:
    """Return the Content-Security-Policy of a page that fetches nothing else, whatever a run's files hold.

    Args:
        images: sources of pictures and films.
        scripts: the only scripts that run; none by default.
    """
    hashes = [f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts]
    allowed = " ".join(hashes) or "'none'"
    shown = f"style-src 'unsafe-inline'; img-src {images}; media-src {images}"
    return f"default-src 'none'; base-uri 'none'; form-action 'none'; script-src {allowed}; {shown}"


def encodable(page: str) -> str:
    """Return the page with lone surrogates, which UTF-8 lacks, as visible escapes."""
    return page.encode("utf-8", "backslashreplace").decode("utf-8")

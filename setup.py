"""Each top-level source folder installs as tritforge.<folder>."""

from tempfile import TemporaryDirectory

from setuptools import find_packages, setup

ROOTS = ("accel", "models", "sim", "energy", "rtl", "explore", "report", "cli")
# A wheel holds what is here now: setuptools would add whatever earlier builds have left in build/lib.
with TemporaryDirectory() as scratch:
    setup(
        packages=[f"tritforge.{p}" for r in ROOTS for p in (r, *(f"{r}.{s}" for s in find_packages(r)))],
        package_dir={f"tritforge.{r}": r for r in ROOTS},
        options={"build": {"build_base": scratch}},
    )

"""Compares random overrides, config trees and YAML with an installed hydra-core==1.3.8, and prints how many come out alike:

    fuzz.py MNEME [--seed N] [--overrides N] [--trees N] [--documents N]

A difference is printed with its input; `mneme config selftest` holds listed deviations against their rules. Exit code 77
where Hydra is missing."""
import argparse
import importlib.util
import sys


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mneme")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--overrides", type=int, default=10_000)
    parser.add_argument("--trees", type=int, default=20)
    parser.add_argument("--documents", type=int, default=500)
    options = parser.parse_args()
    if importlib.util.find_spec("hydra") is None:
        print(f"skipped: {sys.executable} has no hydra; install hydra-core==1.3.8 and name that Python with -DMNEME_PEERS_PYTHON=…")
        return 77
    import fuzz_compose
    import fuzz_overrides
    import fuzz_yaml
    import report

    failures = 0
    for name, records in (("overrides", fuzz_overrides.records(options.overrides, options.seed)),
                          ("compositions", fuzz_compose.records(options.trees, options.seed)),
                          ("YAML and interpolations", fuzz_yaml.records(options.documents, options.seed))):
        failures += report.run(options.mneme, name, records)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

"""The tests; a package, since one of the packages that they need brings a package ``tests`` too."""

"""The settings of `config.yaml`: one file a section, typed, frozen, closed."""

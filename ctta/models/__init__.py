"""Source models: classifiers with features, and cards that say what they are."""

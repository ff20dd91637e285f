"""Networks that Vedette builds itself."""

"""How alerts leave the house: one notifier a file, one retry stage for all of them."""

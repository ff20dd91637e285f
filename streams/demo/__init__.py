"""The demo: ordinary clients and live attackers against a served model, and who was caught."""

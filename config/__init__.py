"""What people edit: settings, taxonomies, policies. Imports no other room."""

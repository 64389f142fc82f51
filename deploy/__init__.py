"""Everything that deploys stemqueue."""

"""All outgoing HTTP requests: to public addresses only, each within one deadline."""

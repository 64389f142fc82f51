"""`stemqueue catalog`: whole catalogs through a server, from a folder, a manifest or a bucket."""

"""`stemqueue catalog`: whole catalogs through a server, from a folder, a manifest or a bucket.

| file | owns |
|---|---|
| `commands.py` | options, exit codes, what is printed |
| `items.py`, `sources.py`, `manifest.py`, `fields.py` | which tracks there are |
| `folders.py` | what a track's folder is called |
| `run_state.py` | how far a run is, in a file that outlives it |
| `run.py` | the run: uploads, batches, downloads, one after another and side by side |
| `uploading.py`, `batch_progress.py`, `downloading.py` | its three parts |
| `url_download.py` | songs on the web |
| `background_calls.py` | threads for what waits on the network |
| `display.py`, `report.py` | what is shown meanwhile, and what is told in the end |
"""

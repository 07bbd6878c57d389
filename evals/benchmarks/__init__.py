"""One module per benchmark; a new module in this folder is found automatically."""

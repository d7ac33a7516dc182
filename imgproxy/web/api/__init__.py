"""The REST API of hosted pictures: `operation` is what one operation is, `api` answers them, a file for each resource."""

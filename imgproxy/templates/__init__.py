"""Pictures that are drawn for each reader, out of layers. A source like the others; `render/compose.py` draws them."""

"""Hosted pictures: what is known of them and whose they are (`catalogue`), their bytes (`objects`), how they come in
(`intake`), who may (`keys`), and the Source that makes them pictures like all others (`source`).
"""

"""PROCESSING: imgproxy's processing options, one row an option, with its names, arguments and defaults."""

from __future__ import annotations

import re

from imgproxy.urls.processing_option import Processing, apply
from imgproxy.urls.processing_pictures import PICTURES
from imgproxy.urls.processing_results import RESULTS

__all__ = ["BY_NAME", "NOT_OFFERED", "PROCESSING", "SECURITY", "Processing", "apply", "table"]

PROCESSING: tuple[Processing, ...] = (*PICTURES, *RESULTS)
"""`filename` and `preset` are read by the dialect itself: one needs its base64, the other its presets."""

NOT_OFFERED = frozenset(
    re.findall(
        "[a-z_]+",
        """
        objects_position obj_pos op crop_objects blur_detections bd draw_detections dd detect_objects video_thumbnail_second vts
        video_thumbnail_keyframes vtk video_thumbnail_tile vtt video_thumbnail_animation vta style st dpi
        color_profile cp icc bypass_cache bc cache_tags ct blur_areas ba progressive_blur pbl
        """,
    )
)
"""Names of imgproxy's that are understood and refused, rather than taken for typing errors."""

SECURITY = frozenset(
    re.findall(
        "[a-z_]+",
        """
        max_src_resolution msr max_src_file_size msfs max_animation_frames maf max_animation_frame_resolution mafr
        max_result_dimension mrd
        """,
    )
)
"""What only a server's own settings may say, unless they let URLs say it."""

BY_NAME = {name: option for option in PROCESSING for name in option.names}


def table() -> str:
    """PROCESSING as a Markdown table."""
    rows = ["| option | arguments | example | meaning |", "|---|---|---|---|"]
    for option in PROCESSING:
        names = ", ".join(f"`{name}`" for name in option.names)
        rows.append(f"| {names} | {option.expected} | `{option.example}` | {option.meaning} |")
    return "\n".join(rows) + "\n"

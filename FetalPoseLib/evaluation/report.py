"""The measures of a set of poses as a text for a person."""


def summary_text(result: dict) -> str:
    """What `metrics.summary` found, as the lines of two tables (mm and %) and three counts."""
    landmarks = [*result["landmarks"].items(), ("all", {"mean_mm": result["mean_mm"], "auc": result["auc"]})]
    segments = [*result["segments"].items(), ("all", result["lengths"])]
    lines = [
        f"{'landmark':<24}{'error (mm)':>12}{'AUC (%)':>10}",
        *(f"{name:<24}{_number(row['mean_mm'], 12)}{_number(row['auc'], 10)}" for name, row in landmarks),
        "",
        f"{'segment':<24}{'error (mm)':>12}{'bias (mm)':>10}",
        *(f"{name:<24}{_number(row['mean_absolute_mm'], 12)}{_number(row['bias_mm'], 10)}" for name, row in segments),
        "",
        f"volumes: {result['volumes']}",
        f"landmarks not found: {result['missed']}",
        f"limbs on the wrong side: {result['wrong_side_limbs']} of {result['limbs']}",
    ]
    return "\n".join(lines)


def _number(value: float | None, width: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:>{width}.2f}"

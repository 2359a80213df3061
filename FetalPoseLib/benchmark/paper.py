"""What the paper reports (Tables 1 and 2, section 3): landmarks L1 to L16 and their mean, on 52 clinical volumes."""

METHODS = ("Land-R4", "Land-GCP", "SSL-R4", "SSL-GCP")

_ERROR_MM = """
1.75  1.74  1.72  1.76
6.69  8.78  5.00  6.39
2.54  2.54  2.36  2.44
7.18  5.59  4.37  4.57
8.85  6.39  6.81  6.66
11.1  6.40  13.3  6.00
2.57  2.15  2.56  2.23
3.31  2.39  3.19  2.30
9.87  11.5  8.40  9.27
13.7  11.1  10.8  9.40
4.34  2.97  3.32  2.65
9.23  6.27  6.45  6.51
7.22  5.05  7.40  5.68
3.84  2.36  2.93  1.98
6.69  5.91  4.63  5.60
6.46  4.49  4.26  5.31
6.59  5.35  5.47  4.92
"""

_AUC = """
81.4  82.5  81.8  82.6
56.5  48.4  61.9  57.7
75.5  74.8  75.9  75.6
50.1  61.0  65.6  66.1
47.5  65.6  56.7  63.4
32.3  51.8  22.0  55.0
72.8  78.4  73.0  77.5
74.0  75.9  75.3  76.9
48.0  45.7  56.8  56.0
28.4  35.8  37.8  43.6
63.6  70.4  65.1  73.6
27.3  46.5  46.8  47.4
44.9  49.7  42.4  45.1
61.8  76.6  70.1  80.5
48.1  51.7  63.0  55.3
49.4  55.7  57.0  50.5
53.8  60.7  59.5  62.9
"""


def _columns(text: str) -> dict[str, tuple[float, ...]]:
    rows = [[float(number) for number in line.split()] for line in text.split("\n") if line]
    return dict(zip(METHODS, zip(*rows, strict=True), strict=True))


ERROR_MM = _columns(_ERROR_MM)  # Table 1, Euclidean distance
AUC = _columns(_AUC)  # Table 2, in %

CAVEAT = (
    "The paper's columns are not directly comparable with ours: theirs are 52 clinical volumes of one scanner, "
    "annotated by an expert, ours are simulated; and the paper's figure of its landmarks is not in its text, so the "
    "numbering is our convention: which side and order its authors meant within a limb stays open. Compare the levels, "
    "not limb landmark with limb landmark."
)

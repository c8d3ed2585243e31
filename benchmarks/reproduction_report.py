"""placeholder"""


def page(results):
    return ""

"""One HTML page for each training: what was trained on what, how well, where it fails and what to try next.

    training_start.py    what is known when a training starts; training.json
    training_record.py   settings, epochs and scores, from a model or from the checkpoint of a training that runs
    image_scores.py      the model on labeled images: each image's score, intervals, calibration
    suggestions.py       what to try next
    charts.py            lines and a confusion matrix as SVG
    training_page.py     all of it as ``report.html``

No TensorFlow: models are run by ``inference``.
"""

"""Weights of other libraries: read, recognized, checked, and written for GluonCV.

    mxnet, torchfile, hdf5   readers of one kind of file each: arrays under the file's own names
    files                    any of them, recognized by the first bytes
    name_mapping             names of GluonCV, timm, torchvision and Keras to structural names
    detect_architecture      the network that names and shapes belong to
    sagemaker_artifact       the model.tar.gz of AWS's built-in algorithm
    model                    a model of any of these as an artifact
    pretrained, hub          ImageNet weights on this machine and on the Hugging Face Hub

Everything here is numpy: no TensorFlow, no MXNet, and nothing is loaded that could run code.
"""

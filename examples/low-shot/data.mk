# data.mk: where labelled pictures are, and the commands that write them; for Makefile and sets.mk, which set TOP.
CIFAR10 ?= $(TOP)/build/demo/cifar-10
FASHION ?= $(firstword $(wildcard /usr/share/datasets/fashion-mnist /usr/share/dataset-fashion-mnist) \
             $(shell dpkg -L dataset-fashion-mnist 2>/dev/null | sed -n 's:/train-images.*::p' | head -n 1))
TRAIN.cifar10 = cifar-read $(CIFAR10)/data_batch_*.bin
TEST.cifar10  = cifar-read $(CIFAR10)/test_batch.bin
TRAIN.fashion = idx-read $(FASHION)/train-images-idx3-ubyte* $(FASHION)/train-labels-idx1-ubyte*
TEST.fashion  = idx-read $(FASHION)/t10k-images-idx3-ubyte* $(FASHION)/t10k-labels-idx1-ubyte*

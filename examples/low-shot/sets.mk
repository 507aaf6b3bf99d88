# The sets of the table *embeddings*, and the table: all embeddings made by the tools, each set an .npz as peers.py takes it.
#
#     make -f sets.mk fonts                                                 Debian's packages of fonts used here
#     make -f sets.mk CIFAR10=DIR PHOTOS=DIR CIFAR=DIR PYTHON=python3
#
# CIFAR10: CIFAR-10's binary batches. PHOTOS, CIFAR and PYTHON: as in ../pretrained, whose networks are used. The letters are
# of all fonts that are installed. Two hours on two cores (-j2), most of it the peers'; an interrupted make goes on where it
# stopped.

# ---- what may be changed: make NAME=VALUE -----------------------------------------------------------------
PHOTOS  = photos
CIFAR   = cifar10-jpeg
PYTHON  = python3
# Rows of each class to learn from and to test on, of the pictures that come in thousands.
LEARN   = 200
SHOTS   = 1,2,5,10,20,30,100,all
DRAWS   = 5
FONTS   = fonts-cabin fonts-cantarell fonts-comfortaa fonts-crosextra-caladea fonts-crosextra-carlito fonts-dejavu-core \
          fonts-ebgaramond fonts-firacode fonts-freefont-ttf fonts-hack fonts-inconsolata fonts-junicode fonts-lato \
          fonts-liberation fonts-linuxlibertine fonts-mplus fonts-open-sans fonts-quicksand fonts-roboto-unhinted \
          fonts-sil-andika fonts-sil-gentium fonts-texgyre fonts-urw-base35 fonts-vollkorn
TOP     = ../..
OUT     = $(TOP)/build/low-shot
SETS    = $(OUT)/sets
KEPT    = $(OUT)/embeddings
PRE     = $(TOP)/build/pretrained
ARRAYS  = ../pretrained/arrays
export PATH := $(abspath $(TOP))/bin:$(PATH)
export OPENBLAS_NUM_THREADS ?= 1
export OMP_WAIT_POLICY = passive

include data.mk

# Networks trained here, by the classes that they were trained on, and what embeds with them.
TRAINED  = cifar10-8+2-keras-cnn cifar10-5+5-keras-cnn fashion-8+2-keras-cnn cifar10-8+2-resnet9
BASE.8+2 = 0-7
BASE.5+5 = 0-4
HOW.keras-cnn = --epochs 5
HOW.resnet9   = --arch resnet9 --epochs 3 --batch 256 --optimizer sgd --rate 0.2 --schedule one-cycle \
                --weight-decay 5e-4 --label-smoothing 0.1 --augment flip,shift:4,cutout:8
field = $(word $(1),$(subst -, ,$(2)))
data  = $(call field,1,$*)
base  = $(BASE.$(call field,2,$*))
how   = $(if $(findstring resnet9,$*),$(HOW.resnet9),$(HOW.keras-cnn))

ALONE  = $(TRAINED) glyphs-keras-cnn digits-pixels packages-tfidf photos-lite0 photos-dino cifar10-lite0 cifar10-dino
PHOTOS_BASE = photos-lite0 photos-dino
TABLES = $(ALONE:%=$(KEPT)/%.alone) $(PHOTOS_BASE:%=$(KEPT)/%.photos) $(TRAINED:%=$(KEPT)/%.base)

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all sets anew fonts
all: $(KEPT).md $(KEPT).png
	@cat $<
sets: $(ALONE:%=$(SETS)/%.npz)
fonts:
	$(TOP)/.ci/packages fontconfig python3-pil $(FONTS)
# imprint's figures once more; the peers' stay.
anew:
	rm -f $(TABLES)
	$(MAKE) -f sets.mk ANEW=--anew

# ---- the sets ---------------------------------------------------------------------------------------------
$(SETS) $(KEPT):
	mkdir -p $@
$(TRAINED:%=$(SETS)/%.model): $(SETS)/%.model: | $(SETS)
	$(TRAIN.$(data)) | class-filter --keep $(base) | cnn-train $(how) --statistics --seed 1 -o $@
$(TRAINED:%=$(SETS)/%.npz): $(SETS)/%.npz: $(SETS)/%.model
	$(TRAIN.$(data)) | class-filter --keep 0-9 --per-class $(LEARN) | embed --model $< -o $@.train
	$(TEST.$(data)) | class-filter --keep 0-9 --per-class $(LEARN) | embed --model $< -o $@.test
	$(ARRAYS) $(LEARN) $@ $@.train $@.test && rm $@.train $@.test
$(SETS)/glyphs-keras-cnn.npz: $(SETS)/cifar10-8+2-keras-cnn.model
	./sets glyphs | embed --model $< -o $@.rows
	$(ARRAYS) 120 $@ $@.rows && rm $@.rows
$(SETS)/digits-pixels.npz: | $(SETS)
	./sets digits $@
$(SETS)/packages-tfidf.npz: | $(SETS)
	./sets packages $@
define from-pretrained
	$(MAKE) -C ../pretrained PHOTOS=$(abspath $(PHOTOS)) CIFAR=$(abspath $(CIFAR)) PYTHON=$(PYTHON) \
	    CIFAR_ROWS=$(LEARN) $(PRE)/$(@F)
	cp $(PRE)/$(@F) $@
endef
$(SETS)/photos-%.npz: | $(SETS)
	$(from-pretrained)
$(SETS)/cifar10-%.npz: | $(SETS)
	$(from-pretrained)
# One after another: they share what is made there.
$(SETS)/photos-dino.npz: | $(SETS)/photos-lite0.npz
$(SETS)/cifar10-lite0.npz: | $(SETS)/photos-dino.npz
$(SETS)/cifar10-dino.npz: | $(SETS)/cifar10-lite0.npz

# ---- the figures ------------------------------------------------------------------------------------------
PEERS = ./peers.py --draws $(DRAWS) --shots $(SHOTS) --keep $(KEPT) $(ANEW)
$(KEPT)/%.alone: $(SETS)/%.npz | $(KEPT)
	$(PEERS) $< >$@.part
	mv $@.part $@
$(KEPT)/%.photos: $(SETS)/%.npz | $(KEPT)
	$(PEERS) --base 15:30 $< >$@.part
	mv $@.part $@
$(KEPT)/%.base: $(SETS)/%.npz | $(KEPT)
	$(PEERS) --base $(if $(findstring 5+5,$*),5,8):$(LEARN) --model $(SETS)/$*.model $< >$@.part
	mv $@.part $@
$(KEPT).md: $(TABLES)
	./peers.py --tell $(KEPT)/*.json >$@
$(KEPT).png: $(KEPT).md embeddings.gp
	./peers.py --curves $(KEPT)/*.json >$(KEPT).curves
	gnuplot -e "curves='$(KEPT).curves'; picture='$@'" embeddings.gp

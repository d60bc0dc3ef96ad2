include $(sort $(wildcard $(BR2_EXTERNAL_SAPPHIRE_EDGE_PATH)/package/*/*.mk))
